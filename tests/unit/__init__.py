"""Tests of single modules; real sockets, no mocks."""
