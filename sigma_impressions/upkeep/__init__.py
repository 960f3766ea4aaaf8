"""What is done to stored tables later: compact them, drop detail, edit users."""
