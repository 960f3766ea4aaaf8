"""The first settings of a project: what is asked, what follows from the answers, and the file that keeps them."""
