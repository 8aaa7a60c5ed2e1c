"""Episodic memory: a Bayesian regression, whose posterior is written fact by fact."""
