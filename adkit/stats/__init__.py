"""Thresholds, rates and their uncertainty: numbers in, numbers out."""
