"""A long training, watched: does its memory grow, does it slow down?"""
