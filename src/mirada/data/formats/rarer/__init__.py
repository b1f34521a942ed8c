"""Formats that one tool or one family of data sets writes: CreateML, VIA, the lists of keras-yolo3, and DOTA."""
