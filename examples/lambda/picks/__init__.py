# SPDX-License-Identifier: Apache-2.0
"""What planner_check.py is made of: machines slowed by quotas of processor time, what the planner is asked, how its picks
are measured, and how they are judged.
"""
