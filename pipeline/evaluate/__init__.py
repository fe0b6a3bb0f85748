"""The judge: metrics and reports from a run's recording. Imports neither nodes nor fusion."""
