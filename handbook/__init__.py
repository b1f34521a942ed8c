"""The site of the documentation: pages made from the code, links checked, all of it built by `make docs`."""
