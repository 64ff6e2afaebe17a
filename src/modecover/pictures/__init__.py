"""Samples and curves as images."""
