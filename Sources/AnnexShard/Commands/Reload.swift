import AnnexCore
import AnnexEngine
import AnnexWire

/// Answers RELOAD.
extension ShardHandler {
    func reload(_ request: Request) throws(ArgumentFailure) -> Disposition {
        let arguments = ReloadArguments(request)
        let index = try self.lane(request, name: arguments.index).version.description.index
        var version: EntryName?
        if let position = arguments.version {
            guard let name = request.text(position, atMost: 64).flatMap({ EntryName($0) }) else {
                throw ArgumentFailure(
                    "'\(request.printable(position))' is no version's name; INDEXES and `annctl list` show them"
                )
            }
            version = name
        }
        let engine = self.engine
        let wanted = version
        return .pending(bytes: request.heldBytes) { promise in
            engine.reload(index, version: wanted) { result in
                promise.fulfil { reply in
                    switch result {
                    case .success(let served): reply.simpleString(served.value)
                    case .failure(let error):
                        reply.error(code: .error, "RELOAD failed, the version before is still served: \(error)")
                    }
                }
            }
        }
    }
}
