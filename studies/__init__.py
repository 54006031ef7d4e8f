"""Studies by which the statistics of itl were chosen, and by which its advice was judged."""
