"""What the shipped chains reach: thresholds tuned on one file of events, numbers from another, a card with both."""
