"""The demonstration: deploy to the embedded AWS, send a payment of every kind, and show what became of each."""
