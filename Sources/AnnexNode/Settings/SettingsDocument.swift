import AnnexCore
import AnnexRouter
import AnnexServer

/// Writes docs/settings.md from the tables.
package enum SettingsDocument {
    package static func markdown() -> String {
        """
        # Settings

        Written by `annctl settings-docs` from the tables of settings; do not edit.

        A server has its defaults, then what `--config FILE` says, then its flags. Unknown keys, and values out of bounds, are errors. Paths
        in a file are relative to the file. [deploy/annex.yaml](../deploy/annex.yaml) is such a file with each key in it. `CONFIG GET` shows
        what holds now; `CONFIG SET` changes the few that say so, until the server ends.

        ## A shard: `annctl serve`

        \(ShardTable.Row.markdown(ShardTable.all, fresh: ShardSettings()))
        `CONFIG GET` also knows `save`, `appendonly` and `databases`, as benchmark tools ask for them: nothing is written by the listener,
        and there is one database.

        ## A router: `annctl route`

        The listener has the flags of this table. Its file, `--config`, is the topology.

        \(RouterTable.Row.markdown(RouterTable.flags, fresh: RouterNodeSettings()))
        Under `router:` of the topology's file, as [deploy/cluster.yaml](../deploy/cluster.yaml) has them; a router takes changes of these when
        it starts again:

        \(RouterOptions.Row.markdown(RouterOptions.all, fresh: RouterSettings()))
        """
    }
}
