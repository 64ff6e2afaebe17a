"""Runs of one's own beside each other: what differs in them, how they fared, what the audit says of them."""
