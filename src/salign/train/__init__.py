"""Recipes, and the loop that trains a network as a recipe describes it."""

from salign.index import lazy_index

lazy_index(__name__)
