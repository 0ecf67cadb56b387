"""Lines of text: files, tokens of a vocabulary that is kept, and batches of about as many tokens."""
