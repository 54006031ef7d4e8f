"""Files where they lie: archives, images, arrays and options, read with care."""
