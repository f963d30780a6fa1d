import AnnexCore
import AnnexEngine
import AnnexWire

/// Answers WAITPOS.
extension ShardHandler {
    func waitForPosition(_ request: Request) throws(ArgumentFailure) -> Disposition {
        let arguments = try WaitPositionArguments(request)
        guard let lane = self.lanes.first(where: { $0.version.description.index == arguments.token.index }) else {
            throw ArgumentFailure(
                code: .noIndex,
                "'\(request.printable(2))' is a position of an index that is not served; there is: \(self.servedNames)"
            )
        }
        return try Self.wait(arguments, lane.version)
    }

    /// Answered when this replica has applied the position.
    private static func wait(_ arguments: WaitPositionArguments, _ version: ServedVersion) throws(ArgumentFailure)
        -> Disposition
    {
        guard let log = version.log else {
            throw ArgumentFailure(
                "this server has no log, so that there is no position to wait for: leave WAITPOS out, or start it with --log"
            )
        }
        return .pending(bytes: 256) { promise in
            log.wait(for: arguments.token, milliseconds: Int64(arguments.milliseconds)) { result in
                promise.fulfil { reply in
                    switch result {
                    case .success(.applied): reply.status("OK")
                    case .success(.ofAnotherLog):
                        reply.simpleString(
                            "IGNORED it is a position of a log that was replaced: there is nothing to wait for"
                        )
                    case .failure(let error): reply.error(error)
                    }
                }
            }
        }
    }
}
