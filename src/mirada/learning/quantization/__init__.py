"""Quantization with TensorFlow: conversion, schemes, the ladder, and training that knows of int8."""
