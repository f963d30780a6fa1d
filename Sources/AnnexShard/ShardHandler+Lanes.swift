import AnnexCore
import AnnexEngine
import AnnexWire

/// Finds the index that a command is about.
extension ShardHandler {
    func find(_ request: Request, _ position: Int) -> Lane? {
        request.withArgument(position) { bytes in
            self.lanes.first { $0.version.description.index.value.utf8.elementsEqual(bytes) }
        }
    }

    /// Returns the index that is named at a position, or the only one.
    func lane(_ request: Request, name position: Int?) throws(ArgumentFailure) -> Lane {
        guard let position else {
            guard self.lanes.count == 1 else {
                throw ArgumentFailure(
                    code: .noIndex,
                    "several indexes are served; add INDEX and one of: \(self.servedNames)"
                )
            }
            return self.lanes[0]
        }
        guard let lane = self.find(request, position) else {
            throw ArgumentFailure(
                code: .noIndex,
                "no index '\(request.printable(position))' is served; there is: \(self.servedNames)"
            )
        }
        return lane
    }

    /// Returns the same for reads of users, which are refused where this replica is too far behind the log. It costs
    /// one atomic load.
    func freshLane(_ request: Request, name position: Int?) throws(ArgumentFailure) -> Lane {
        let lane = try self.lane(request, name: position)
        if let staleness = lane.version.log?.staleness { throw ArgumentFailure(code: .masterDown, staleness) }
        return lane
    }

    var servedNames: String {
        self.lanes.map(\.version.description.index.value).joined(separator: ", ")
    }
}
