"""What the README claims about speed, measured. Ratios within one run, because machines are noisy."""
