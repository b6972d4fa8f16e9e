"""What a vehicle identification number is, and how 17 boxes become one."""
