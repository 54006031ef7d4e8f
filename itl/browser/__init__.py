"""What the browser of the hierarchy shows: the tree's columns, a static picture, and the page's modules."""
