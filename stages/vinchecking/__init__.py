"""The check station: one page served to several clerks, and what they decide kept at once."""
