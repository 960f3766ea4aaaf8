"""From the bucket to rows: object stores, file dates, decoding, headers, normalization."""
