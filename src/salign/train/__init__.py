"""Recipes, and the loop that trains a network by one."""

from salign.index import lazy_index

lazy_index(__name__)
