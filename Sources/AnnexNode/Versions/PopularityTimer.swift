import AnnexCore
import AnnexEngine
import Dispatch
import Logging

/// Counts anew what is popular, as often as `PopularitySchedule` says, on a thread that gives way.
final class PopularityTimer: Sendable {
    private let engine: Engine
    private let decay: PopularItems.Decay
    private let logger: Logger
    /// After its start the timer is only scheduled and cancelled, which any thread may do.
    nonisolated(unsafe) private let timer: any DispatchSourceTimer

    init(_ engine: Engine, _ decay: PopularItems.Decay, _ logger: Logger) {
        self.engine = engine
        self.decay = decay
        self.logger = logger
        self.timer = DispatchSource.makeTimerSource(queue: DispatchQueue(label: "annex-popular"))
        self.timer.schedule(deadline: .now() + PopularitySchedule.leastSeconds)
        self.timer.setEventHandler { [weak self] in self?.count() }
        self.timer.resume()
    }

    func stop() { self.timer.cancel() }

    private func count() {
        let begin = DispatchTime.now().uptimeNanoseconds
        let decay = self.decay
        for version in self.engine.versions {
            do { try LowPriorityThread.run { try version.countPopular(decay) } } catch {
                let index = version.description.index
                self.logger.error(
                    "Cannot count what is popular, the count before stays",
                    metadata: ["index": "\(index)", "reason": "\(error)"]
                )
            }
        }
        let spent = Double(DispatchTime.now().uptimeNanoseconds - begin) / 1e9
        self.timer.schedule(deadline: .now() + PopularitySchedule.pause(afterSpending: spent))
    }
}
