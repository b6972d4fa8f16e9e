"""What real vehicle numbers look like, counted."""
