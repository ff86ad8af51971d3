select tree_id, kind, 1 as height from {{ ref('trees_clean') }}
