"""What is done to training images: changes of one image, several made into one, and operations of chance for classifiers.

Every draw comes from a seed given from outside, so the same epoch of the same seed sees the same images, after a resume
too.
"""
