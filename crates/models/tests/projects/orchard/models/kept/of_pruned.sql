select a.tree_id, b.how from {{ ref('pruned', v=1) }} a join {{ ref('pruned') }} b using (tree_id)
