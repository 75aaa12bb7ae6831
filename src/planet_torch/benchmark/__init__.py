"""How fast it is: contenders in processes of their own, timed in turns."""
