"""What a sentence means, in English and Chinese. Read `ontology.py` first, then `understand.py`."""
