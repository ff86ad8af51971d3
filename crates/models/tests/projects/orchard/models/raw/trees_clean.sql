select tree_id, kind, coalesce(height, 0) as height from {{ ref('trees') }}
