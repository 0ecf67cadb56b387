"""One of everything that can be plugged in, as a user of the product would write it; the product knows none of it."""
