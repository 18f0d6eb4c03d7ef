"""Several training environments and held-out ones."""
