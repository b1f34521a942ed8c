"""What a raw folder is: its layout, its lists, which file belongs to which image, and the texts in it."""
