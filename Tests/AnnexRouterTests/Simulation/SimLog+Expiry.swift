import AnnexLog

extension SimLog {
    /// Entries that stand in their streams in time: what replicas are to have.
    var counting: [[Entry]] { self.streams.map { $0.filter { !$0.position.isBehind($0.entry.until) } } }
}
