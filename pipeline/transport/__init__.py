"""The bus between threads, processes and hosts.

Read `shared_memory.py` first; ZeroMQ is imported only in this folder."""
