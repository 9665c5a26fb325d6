"""Impressions, clicks and conversions of recommendations, counted once each."""
