"""The commands of the platform: the deployer, the embedded AWS and the demonstration on it."""
