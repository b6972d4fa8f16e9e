"""From a file to boxes as the network sees them."""
