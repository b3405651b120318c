"""What training costs, measured here and reckoned for many machines."""
