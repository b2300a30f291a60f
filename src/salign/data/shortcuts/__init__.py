"""Shortcuts put into images on purpose, to see which networks fall for them."""
