"""Who trains: this process, worker processes on this machine, or tasks on a Ray cluster. They share ``base.py``."""
