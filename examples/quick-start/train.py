"""Trains a classifier on the digits that scikit-learn ships, and reports its progress to ClearML."""

from clearml import Task
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import confusion_matrix, log_loss
from sklearn.model_selection import train_test_split

EPOCHS = 3


def main():
    task = Task.init(project_name="Quick start", task_name="digits")
    parameters = task.connect({"alpha": 0.001, "seed": 7})
    images, digits = load_digits(return_X_y=True)
    train_images, test_images, train_digits, test_digits = train_test_split(
        images / 16, digits, test_size=0.25, random_state=parameters["seed"]
    )
    model = SGDClassifier(loss="log_loss", alpha=parameters["alpha"], random_state=parameters["seed"])
    logger = task.get_logger()
    for epoch in range(EPOCHS):
        model.partial_fit(train_images, train_digits, classes=range(10))
        accuracy = model.score(test_images, test_digits)
        loss = log_loss(test_digits, model.predict_proba(test_images))
        logger.report_scalar("accuracy", "test", accuracy, epoch)
        logger.report_scalar("loss", "test", loss, epoch)
        print(f"epoch {epoch + 1} of {EPOCHS}: accuracy {accuracy:.3f}, loss {loss:.3f}")
    confusion = confusion_matrix(test_digits, model.predict(test_images))
    task.upload_artifact("confusion matrix", confusion.tolist(), wait_on_upload=True)


if __name__ == "__main__":
    main()
