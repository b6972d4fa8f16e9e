"""How well it reads, and what is accepted."""
