"""The shipped line-up: sources of candidates, what is known of each candidate, and what ranks them.

One code for training and serving, so that a feature means the same in both. An artifact holds `model.FusedModel`.
"""
