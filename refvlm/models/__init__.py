"""Models: one file for each, a function of weights, configuration and inputs."""
