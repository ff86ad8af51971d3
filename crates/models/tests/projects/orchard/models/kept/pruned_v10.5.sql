select tree_id from {{ ref('pruned', v='beta') }}
