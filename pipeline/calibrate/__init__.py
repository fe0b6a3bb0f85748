"""One file per `syncline calibrate …`: it reads, `calibration/` solves, it writes a page. Read `page.py` first."""
